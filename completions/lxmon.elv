
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
            cand -t 'Event type, such as lifecycle, operation or logging, or life, op or log; comma-separated or repeated'
            cand --type 'Event type, such as lifecycle, operation or logging, or life, op or log; comma-separated or repeated'
            cand -a 'Lifecycle action, such as ''instance-*''; without --type, asks the server for lifecycle events only. @running and @stopped: also what is so already (--state)'
            cand --action 'Lifecycle action, such as ''instance-*''; without --type, asks the server for lifecycle events only. @running and @stopped: also what is so already (--state)'
            cand -i 'Events about these instances'
            cand --instance 'Events about these instances'
            cand --source 'Path of what a lifecycle event happened to, such as ''/1.0/networks/*'''
            cand --requestor 'Who asked for it: protocol/username, username, or address; ''none'' if nobody did'
            cand --location 'Cluster member that the event comes from'
            cand --project 'Project, such as web or ''web*''; repeatable [default: the remote''s project, else ''default'']'
            cand --loglevel 'Minimum level of log messages and audit records; other events pass [default: info in pretty, else all]'
            cand --jq 'jq expression: null, false and no result drop the event, anything else replaces it; $lxmon has what lxmon knows'
            cand -f 'Output format [default: the value of `LXMON_FORMAT`, else yaml]'
            cand --format 'Output format [default: the value of `LXMON_FORMAT`, else yaml]'
            cand --color 'When to colour'
            cand --time 'How pretty shows the time'
            cand -n 'Exit 0 after N matching events'
            cand --count 'Exit 0 after N matching events'
            cand --timeout 'Exit after this time: with status 124 if --count or COMMAND is given, else with 0'
            cand --sort-window 'Put events back in timestamp order within this window; 0 turns it off'
            cand --buffer 'Memory limit for all waiting events: those for a slow reader of the output, and those in the sort window'
            cand --exec 'Run COMMAND by sh for each event, which it gets on stdin and in `LXMON_INSTANCE` etc.; prints no events without -f'
            cand --debounce 'Run the command of --exec once for all events up to a pause that long'
            cand --record 'Also append the events to FILE, as JSON lines; SIGUSR1 opens the file again'
            cand --replay 'Read events from files, or ''-'', in place of a server: JSON, or YAML as lxmon, lxc and incus print it'
            cand --since 'With --replay: events from this time on, such as 14:00, ''2026-11-26 14:00'', or 2h for two hours ago'
            cand --until 'With --replay: events up to this time'
            cand --ready-fd 'Write the line ''ready'' to file descriptor N once every subscription is live'
            cand --list-actions 'List the lifecycle actions: name, servers that have it, meaning, further context keys'
            cand --completions 'Print the completions for a shell'
            cand -A 'Events of every project'
            cand --all-projects 'Events of every project'
            cand --failed 'Failures only: operations that failed, commands that returned other than 0, log lines from level error on'
            cand -p 'Short for --format=pretty'
            cand --pretty 'Short for --format=pretty'
            cand --redact 'Replace secrets with *** in everything that leaves lxmon: passwords, tokens, environments, websocket secrets'
            cand --no-trunc 'Never shorten a pretty line to the terminal''s width'
            cand --summary 'At the end, sum up on stderr: how long, actions and operations by count, failures with their reasons, the slowest operations, gaps'
            cand --fail-fast 'Exit 4 at the first failure about what --instance, --project and --location select, printed or not'
            cand --retry 'Keep trying although the first connection fails'
            cand --no-reconnect 'Exit 1 when the connection is lost'
            cand --cluster 'Follow all members of the remote''s cluster, also those that join later'
            cand --state 'First the present state: an event of type state for each instance and running operation; after a gap, what differs'
            cand --gap-events 'Put a record of type gap into the stream where events were lost'
            cand --fail-on-gap 'Exit 3 on the first gap'
            cand --demo 'Follow a built-in stand-in server that plays a session of a cluster'
            cand --lxd 'Use LXD''s client configuration and sockets'
            cand --incus 'Use Incus'' client configuration and sockets'
            cand --force-local 'Use the local socket'
            cand -q 'No notices on stderr'
            cand --quiet 'No notices on stderr'
            cand -v 'More notices on stderr'
            cand --verbose 'More notices on stderr'
            cand --debug 'Trace the protocol on stderr, without secrets'
            cand --man 'Print the man page'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
    ]
    $completions[$command]
}
