complete -c lxmon -s t -l type -d 'Event types, such as lifecycle or operation' -r
complete -c lxmon -s a -l action -d 'Lifecycle actions, such as \'instance-*\'' -r
complete -c lxmon -s i -l instance -d 'Events about these instances' -r
complete -c lxmon -l source -d 'Path of what a lifecycle event happened to, such as \'/1.0/networks/*\'' -r
complete -c lxmon -l requestor -d 'Who asked for it' -r
complete -c lxmon -l location -d 'Cluster member that the event comes from' -r
complete -c lxmon -l project -d 'Projects, such as web or \'web*\'' -r
complete -c lxmon -l loglevel -d 'Log messages from this level on, such as warning' -r -f -a "trace\t''
debug\t''
info\t''
warning\t''
error\t''
fatal\t''
panic\t''"
complete -c lxmon -l jq -d 'A jq expression that drops or replaces events' -r
complete -c lxmon -s f -l format -d 'Format' -r -f -a "yaml\t'One document per event, as `lxc monitor` prints it'
json\t'One event per line, the server\'s own bytes'
pretty\t'One line per event for people'
logfmt\t'One line per event, as `lxc monitor --pretty` prints it'"
complete -c lxmon -l color -d 'When to colour' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` or `TERM=dumb` is set; everywhere with `CLICOLOR_FORCE`'
always\t'Everywhere'
never\t'Nowhere'"
complete -c lxmon -l time -d 'How pretty shows the time' -r -f -a "local\t'Local time'
utc\t'UTC'
iso\t'RFC 3339, in local time'
delta\t'Seconds since the previous event'"
complete -c lxmon -s n -l count -d 'Exit 0 after N matching events' -r
complete -c lxmon -l timeout -d 'Exit after this time' -r
complete -c lxmon -l sort-window -d 'Put events back in timestamp order within this window; 0 turns it off' -r
complete -c lxmon -l buffer -d 'Memory limit for all waiting events' -r
complete -c lxmon -l exec -d 'Run COMMAND by sh for each event' -r -f -a "(__fish_complete_command)"
complete -c lxmon -l debounce -d 'Run the command of --exec once for all events up to a pause that long' -r
complete -c lxmon -l record -d 'Append the events to FILE, as JSON lines' -r -F
complete -c lxmon -l replay -d 'Read recorded events in place of a server' -r -F
complete -c lxmon -l since -d 'With --replay: events from this time on' -r
complete -c lxmon -l until -d 'With --replay: events up to this time' -r
complete -c lxmon -l ready-fd -d 'Write a line to file descriptor N once every subscription is live' -r
complete -c lxmon -l list-actions -d 'List the lifecycle actions' -r
complete -c lxmon -l completions -d 'Print the completions for a shell' -r -f -a "bash\t''
elvish\t''
fish\t''
powershell\t''
zsh\t''"
complete -c lxmon -s A -l all-projects -d 'Events of every project'
complete -c lxmon -l failed -d 'Failures only'
complete -c lxmon -s p -l pretty -d 'One line per event for people: --format=pretty'
complete -c lxmon -l redact -d 'Replace secrets with ***'
complete -c lxmon -l no-trunc -d 'Never shorten a pretty line to the terminal\'s width'
complete -c lxmon -l summary -d 'Sum up at the end, on stderr'
complete -c lxmon -l fail-fast -d 'Exit 4 at the first failure'
complete -c lxmon -l retry -d 'Keep trying although the first connection fails'
complete -c lxmon -l no-reconnect -d 'Exit 1 when the connection is lost'
complete -c lxmon -l cluster -d 'Follow all members of the remote\'s cluster, also those that join later'
complete -c lxmon -l state -d 'First the present state'
complete -c lxmon -l gap-events -d 'Put a record of type gap into the stream where events were lost'
complete -c lxmon -l fail-on-gap -d 'Exit 3 on the first gap'
complete -c lxmon -l demo -d 'Follow a built-in server that plays a session'
complete -c lxmon -l lxd -d 'Use LXD\'s client configuration and sockets'
complete -c lxmon -l incus -d 'Use Incus\' client configuration and sockets'
complete -c lxmon -l force-local -d 'Use the local socket'
complete -c lxmon -s q -l quiet -d 'No notices on stderr'
complete -c lxmon -s v -l verbose -d 'More notices on stderr'
complete -c lxmon -l debug -d 'Trace the protocol on stderr, without secrets'
complete -c lxmon -l man -d 'Print the man page'
complete -c lxmon -s h -l help -d 'Print the usual options (-h) or all of them (--help)'
complete -c lxmon -s V -l version -d 'Print the version and the commit'
# Completion of lxmon in fish, printed by `lxmon --completions fish`. lxmon itself knows what can stand where.

function __lxmon_complete
    command -q lxmon
    or return
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l word (commandline --current-token --cut-at-cursor)
    # Variables of the command.
    while string match -q '*=*' -- "$words[1]"
        set -e words[1]
    end
    set -l answer (COMPLETE=fish command lxmon -- $words "$word" 2>/dev/null </dev/null)
    switch "$answer[1]"
        case words
            set -e answer[1]
            printf '%s\n' $answer
        case 'files*'
            # The path may begin within the word. For a command without a name, fish completes the names of files.
            set -l prefix (string replace -r '^files ?' '' -- $answer[1])
            set -l path (string sub --start (math 1 + (string length -- "$prefix")) -- "$word")
            for file in (complete -C "'' $path")
                printf '%s\n' "$prefix$file"
            end
        case command
            set -l offset (contains -i -- -- $words)
            set -l before (string escape -- $words[(math $offset + 1)..])
            complete -C "$before $word"
    end
end

complete --command lxmon --no-files --keep-order --arguments '(__lxmon_complete)'
complete -c lxmon -l install-docs -d 'Write the man page and the completions to where man, bash, zsh and fish look'
complete -c lxmon -l remove-docs -d 'Remove the files of --install-docs'
complete -c lxmon -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lxmon -s V -l version -d 'Print version'
