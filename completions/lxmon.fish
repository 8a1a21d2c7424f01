complete -c lxmon -s t -l type -d 'Event type, such as lifecycle, operation or logging, or life, op or log; comma-separated or repeated' -r
complete -c lxmon -s a -l action -d 'Lifecycle action, such as \'instance-*\'; without --type, asks the server for lifecycle events only. @running and @stopped: also what is so already (--state)' -r
complete -c lxmon -s i -l instance -d 'Events about these instances' -r
complete -c lxmon -l source -d 'Path of what a lifecycle event happened to, such as \'/1.0/networks/*\'' -r
complete -c lxmon -l requestor -d 'Who asked for it: protocol/username, username, or address; \'none\' if nobody did' -r
complete -c lxmon -l location -d 'Cluster member that the event comes from' -r
complete -c lxmon -l project -d 'Project, such as web or \'web*\'; repeatable [default: the remote\'s project, else \'default\']' -r
complete -c lxmon -l loglevel -d 'Minimum level of log messages and audit records; other events pass [default: info in pretty, else all]' -r -f -a "trace\t''
debug\t''
info\t''
warning\t''
error\t''
fatal\t''
panic\t''"
complete -c lxmon -l jq -d 'jq expression: null, false and no result drop the event, anything else replaces it; $lxmon has what lxmon knows' -r
complete -c lxmon -s f -l format -d 'Output format [default: the value of `LXMON_FORMAT`, else yaml]' -r -f -a "yaml\t'One document per event, as `lxc monitor` prints it'
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
complete -c lxmon -l timeout -d 'Exit after this time: with status 124 if --count or COMMAND is given, else with 0' -r
complete -c lxmon -l sort-window -d 'Put events back in timestamp order within this window; 0 turns it off' -r
complete -c lxmon -l buffer -d 'Memory limit for all waiting events: those for a slow reader of the output, and those in the sort window' -r
complete -c lxmon -l exec -d 'Run COMMAND by sh for each event, which it gets on stdin and in `LXMON_INSTANCE` etc.; prints no events without -f' -r -f -a "(__fish_complete_command)"
complete -c lxmon -l debounce -d 'Run the command of --exec once for all events up to a pause that long' -r
complete -c lxmon -l record -d 'Also append the events to FILE, as JSON lines; SIGUSR1 opens the file again' -r -F
complete -c lxmon -l replay -d 'Read events from files, or \'-\', in place of a server: JSON, or YAML as lxmon, lxc and incus print it' -r -F
complete -c lxmon -l since -d 'With --replay: events from this time on, such as 14:00, \'2026-11-26 14:00\', or 2h for two hours ago' -r
complete -c lxmon -l until -d 'With --replay: events up to this time' -r
complete -c lxmon -l ready-fd -d 'Write the line \'ready\' to file descriptor N once every subscription is live' -r
complete -c lxmon -l list-actions -d 'List the lifecycle actions: name, servers that have it, meaning, further context keys' -r
complete -c lxmon -l completions -d 'Print the completions for a shell' -r -f -a "bash\t''
elvish\t''
fish\t''
powershell\t''
zsh\t''"
complete -c lxmon -s A -l all-projects -d 'Events of every project'
complete -c lxmon -l failed -d 'Failures only: operations that failed, commands that returned other than 0, log lines from level error on'
complete -c lxmon -s p -l pretty -d 'Short for --format=pretty'
complete -c lxmon -l redact -d 'Replace secrets with *** in everything that leaves lxmon: passwords, tokens, environments, websocket secrets'
complete -c lxmon -l no-trunc -d 'Never shorten a pretty line to the terminal\'s width'
complete -c lxmon -l summary -d 'At the end, sum up on stderr: how long, actions and operations by count, failures with their reasons, the slowest operations, gaps'
complete -c lxmon -l fail-fast -d 'Exit 4 at the first failure about what --instance, --project and --location select, printed or not'
complete -c lxmon -l retry -d 'Keep trying although the first connection fails'
complete -c lxmon -l no-reconnect -d 'Exit 1 when the connection is lost'
complete -c lxmon -l cluster -d 'Follow all members of the remote\'s cluster, also those that join later'
complete -c lxmon -l state -d 'First the present state: an event of type state for each instance and running operation; after a gap, what differs'
complete -c lxmon -l gap-events -d 'Put a record of type gap into the stream where events were lost'
complete -c lxmon -l fail-on-gap -d 'Exit 3 on the first gap'
complete -c lxmon -l demo -d 'Follow a built-in stand-in server that plays a session of a cluster'
complete -c lxmon -l lxd -d 'Use LXD\'s client configuration and sockets'
complete -c lxmon -l incus -d 'Use Incus\' client configuration and sockets'
complete -c lxmon -l force-local -d 'Use the local socket'
complete -c lxmon -s q -l quiet -d 'No notices on stderr'
complete -c lxmon -s v -l verbose -d 'More notices on stderr'
complete -c lxmon -l debug -d 'Trace the protocol on stderr, without secrets'
complete -c lxmon -l man -d 'Print the man page'
complete -c lxmon -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lxmon -s V -l version -d 'Print version'
