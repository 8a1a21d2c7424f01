
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'lxmon' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'lxmon'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'lxmon' {
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Event types, such as lifecycle or operation')
            [CompletionResult]::new('--type', '--type', [CompletionResultType]::ParameterName, 'Event types, such as lifecycle or operation')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'Lifecycle actions, such as ''instance-*''')
            [CompletionResult]::new('--action', '--action', [CompletionResultType]::ParameterName, 'Lifecycle actions, such as ''instance-*''')
            [CompletionResult]::new('-i', '-i', [CompletionResultType]::ParameterName, 'Events about these instances')
            [CompletionResult]::new('--instance', '--instance', [CompletionResultType]::ParameterName, 'Events about these instances')
            [CompletionResult]::new('--source', '--source', [CompletionResultType]::ParameterName, 'Path of what a lifecycle event happened to, such as ''/1.0/networks/*''')
            [CompletionResult]::new('--requestor', '--requestor', [CompletionResultType]::ParameterName, 'Who asked for it')
            [CompletionResult]::new('--location', '--location', [CompletionResultType]::ParameterName, 'Cluster member that the event comes from')
            [CompletionResult]::new('--project', '--project', [CompletionResultType]::ParameterName, 'Projects, such as web or ''web*''')
            [CompletionResult]::new('--loglevel', '--loglevel', [CompletionResultType]::ParameterName, 'Log messages from this level on, such as warning')
            [CompletionResult]::new('--jq', '--jq', [CompletionResultType]::ParameterName, 'A jq expression that drops or replaces events')
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Format')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'Format')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to colour')
            [CompletionResult]::new('--time', '--time', [CompletionResultType]::ParameterName, 'How pretty shows the time')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Exit 0 after N matching events')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'Exit 0 after N matching events')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Exit after this time')
            [CompletionResult]::new('--sort-window', '--sort-window', [CompletionResultType]::ParameterName, 'Put events back in timestamp order within this window; 0 turns it off')
            [CompletionResult]::new('--buffer', '--buffer', [CompletionResultType]::ParameterName, 'Memory limit for all waiting events')
            [CompletionResult]::new('--exec', '--exec', [CompletionResultType]::ParameterName, 'Run COMMAND by sh for each event')
            [CompletionResult]::new('--debounce', '--debounce', [CompletionResultType]::ParameterName, 'Run the command of --exec once for all events up to a pause that long')
            [CompletionResult]::new('--record', '--record', [CompletionResultType]::ParameterName, 'Append the events to FILE, as JSON lines')
            [CompletionResult]::new('--replay', '--replay', [CompletionResultType]::ParameterName, 'Read recorded events in place of a server')
            [CompletionResult]::new('--since', '--since', [CompletionResultType]::ParameterName, 'With --replay: events from this time on')
            [CompletionResult]::new('--until', '--until', [CompletionResultType]::ParameterName, 'With --replay: events up to this time')
            [CompletionResult]::new('--ready-fd', '--ready-fd', [CompletionResultType]::ParameterName, 'Write a line to file descriptor N once every subscription is live')
            [CompletionResult]::new('--list-actions', '--list-actions', [CompletionResultType]::ParameterName, 'List the lifecycle actions')
            [CompletionResult]::new('--completions', '--completions', [CompletionResultType]::ParameterName, 'Print the completions for a shell')
            [CompletionResult]::new('-A', '-A ', [CompletionResultType]::ParameterName, 'Events of every project')
            [CompletionResult]::new('--all-projects', '--all-projects', [CompletionResultType]::ParameterName, 'Events of every project')
            [CompletionResult]::new('--failed', '--failed', [CompletionResultType]::ParameterName, 'Failures only')
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'One line per event for people: --format=pretty')
            [CompletionResult]::new('--pretty', '--pretty', [CompletionResultType]::ParameterName, 'One line per event for people: --format=pretty')
            [CompletionResult]::new('--redact', '--redact', [CompletionResultType]::ParameterName, 'Replace secrets with ***')
            [CompletionResult]::new('--no-trunc', '--no-trunc', [CompletionResultType]::ParameterName, 'Never shorten a pretty line to the terminal''s width')
            [CompletionResult]::new('--summary', '--summary', [CompletionResultType]::ParameterName, 'Sum up at the end, on stderr')
            [CompletionResult]::new('--fail-fast', '--fail-fast', [CompletionResultType]::ParameterName, 'Exit 4 at the first failure')
            [CompletionResult]::new('--retry', '--retry', [CompletionResultType]::ParameterName, 'Keep trying although the first connection fails')
            [CompletionResult]::new('--no-reconnect', '--no-reconnect', [CompletionResultType]::ParameterName, 'Exit 1 when the connection is lost')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'Follow all members of the remote''s cluster, also those that join later')
            [CompletionResult]::new('--state', '--state', [CompletionResultType]::ParameterName, 'First the present state')
            [CompletionResult]::new('--gap-events', '--gap-events', [CompletionResultType]::ParameterName, 'Put a record of type gap into the stream where events were lost')
            [CompletionResult]::new('--fail-on-gap', '--fail-on-gap', [CompletionResultType]::ParameterName, 'Exit 3 on the first gap')
            [CompletionResult]::new('--demo', '--demo', [CompletionResultType]::ParameterName, 'Follow a built-in server that plays a session')
            [CompletionResult]::new('--lxd', '--lxd', [CompletionResultType]::ParameterName, 'Use LXD''s client configuration and sockets')
            [CompletionResult]::new('--incus', '--incus', [CompletionResultType]::ParameterName, 'Use Incus'' client configuration and sockets')
            [CompletionResult]::new('--force-local', '--force-local', [CompletionResultType]::ParameterName, 'Use the local socket')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No notices on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No notices on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'More notices on stderr')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'More notices on stderr')
            [CompletionResult]::new('--debug', '--debug', [CompletionResultType]::ParameterName, 'Trace the protocol on stderr, without secrets')
            [CompletionResult]::new('--man', '--man', [CompletionResultType]::ParameterName, 'Print the man page')
            [CompletionResult]::new('--install-docs', '--install-docs', [CompletionResultType]::ParameterName, 'Install the man page and the completions where man and the shells look')
            [CompletionResult]::new('--remove-docs', '--remove-docs', [CompletionResultType]::ParameterName, 'Remove the files of --install-docs')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print the usual options (-h) or all of them (--help)')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print the usual options (-h) or all of them (--help)')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print the version and the commit')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print the version and the commit')
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
