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
