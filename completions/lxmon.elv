
use builtin;
use str;

set edit:completion:arg-completer[lxmon] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'lxmon'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'lxmon'= {
            cand -t 'Event types, such as lifecycle or operation'
            cand --type 'Event types, such as lifecycle or operation'
            cand -a 'Lifecycle actions, such as ''instance-*'''
            cand --action 'Lifecycle actions, such as ''instance-*'''
            cand -i 'Events about these instances'
            cand --instance 'Events about these instances'
            cand --source 'Path of what a lifecycle event happened to, such as ''/1.0/networks/*'''
            cand --requestor 'Who asked for it'
            cand --location 'Cluster member that the event comes from'
            cand --project 'Projects, such as web or ''web*'''
            cand --loglevel 'Log messages from this level on, such as warning'
            cand --jq 'A jq expression that drops or replaces events'
            cand -f 'Format'
            cand --format 'Format'
            cand --color 'When to colour'
            cand --time 'How pretty shows the time'
            cand -n 'Exit 0 after N matching events'
            cand --count 'Exit 0 after N matching events'
            cand --timeout 'Exit after this time'
            cand --sort-window 'Put events back in timestamp order within this window; 0 turns it off'
            cand --buffer 'Memory limit for all waiting events'
            cand --exec 'Run COMMAND by sh for each event'
            cand --debounce 'Run the command of --exec once for all events up to a pause that long'
            cand --record 'Append the events to FILE, as JSON lines'
            cand --replay 'Read recorded events in place of a server'
            cand --since 'With --replay: events from this time on'
            cand --until 'With --replay: events up to this time'
            cand --ready-fd 'Write a line to file descriptor N once every subscription is live'
            cand --list-actions 'List the lifecycle actions'
            cand --completions 'Print the completions for a shell'
            cand -A 'Events of every project'
            cand --all-projects 'Events of every project'
            cand --failed 'Failures only'
            cand -p 'One line per event for people: --format=pretty'
            cand --pretty 'One line per event for people: --format=pretty'
            cand --redact 'Replace secrets with ***'
            cand --no-trunc 'Never shorten a pretty line to the terminal''s width'
            cand --summary 'Sum up at the end, on stderr'
            cand --fail-fast 'Exit 4 at the first failure'
            cand --retry 'Keep trying although the first connection fails'
            cand --no-reconnect 'Exit 1 when the connection is lost'
            cand --cluster 'Follow all members of the remote''s cluster, also those that join later'
            cand --state 'First the present state'
            cand --gap-events 'Put a record of type gap into the stream where events were lost'
            cand --fail-on-gap 'Exit 3 on the first gap'
            cand --demo 'Follow a built-in server that plays a session'
            cand --lxd 'Use LXD''s client configuration and sockets'
            cand --incus 'Use Incus'' client configuration and sockets'
            cand --force-local 'Use the local socket'
            cand -q 'No notices on stderr'
            cand --quiet 'No notices on stderr'
            cand -v 'More notices on stderr'
            cand --verbose 'More notices on stderr'
            cand --debug 'Trace the protocol on stderr, without secrets'
            cand --man 'Print the man page'
            cand --install-docs 'Install the man page and the completions where man and the shells look'
            cand --remove-docs 'Remove the files of --install-docs'
            cand -h 'Print the usual options (-h) or all of them (--help)'
            cand --help 'Print the usual options (-h) or all of them (--help)'
            cand -V 'Print the version and the commit'
            cand --version 'Print the version and the commit'
        }
    ]
    $completions[$command]
}
