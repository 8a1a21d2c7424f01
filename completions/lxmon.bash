# Completion of lxmon in bash, printed by `lxmon --completions bash`. lxmon itself knows what can stand where.

_lxmon() {
    local answer kind offset=1
    mapfile -t answer < <(
        COMPLETE=bash _LXMON_INDEX=$COMP_CWORD _LXMON_LINE=$COMP_LINE _LXMON_HEAD=${COMP_LINE:0:COMP_POINT} \
            _LXMON_BREAKS=$COMP_WORDBREAKS command lxmon -- "${COMP_WORDS[@]}" 2>/dev/null </dev/null
    )
    kind=${answer[0]-}
    COMPREPLY=("${answer[@]:1}")
    case $kind in
        words)
            if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/] || ${COMPREPLY[0]-} == unix: ]]; then
                compopt -o nospace
            fi
            ;;
        files)
            # Without words of ours, bash completes and quotes the names of files.
            compopt -o bashdefault -o default
            ;;
        'files '*)
            # The path begins within the word, where `:` or `=` does not separate words (COMP_WORDBREAKS).
            kind=${kind#files }
            mapfile -t COMPREPLY < <(compgen -f -P "$kind" -- "${2#"$kind"}")
            compopt -o filenames
            if [[ ${#COMPREPLY[@]} -eq 1 && -d ${COMPREPLY[0]#"$kind"} ]]; then
                COMPREPLY[0]+=/
                compopt -o nospace
            fi
            ;;
        command)
            while [[ ${COMP_WORDS[offset]-} != -- && $offset -lt $COMP_CWORD ]]; do
                offset=$((offset + 1))
            done
            # These are of bash-completion: the older name, and the one since 2.12.
            if declare -F _comp_command_offset >/dev/null; then
                _comp_command_offset $((offset + 1))
            elif declare -F _command_offset >/dev/null; then
                _command_offset $((offset + 1))
            else
                compopt -o bashdefault -o default
            fi
            ;;
    esac
}

# Before bash 4.4, words are always sorted.
complete -o nosort -F _lxmon lxmon 2>/dev/null || complete -F _lxmon lxmon
