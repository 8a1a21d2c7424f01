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
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="lxmon"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        lxmon)
            opts="-t -a -i -A -f -p -n -q -v -h -V --type --action --instance --source --requestor --location --project --all-projects --loglevel --failed --jq --format --pretty --color --time --redact --no-trunc --summary --count --timeout --fail-fast --retry --no-reconnect --cluster --state --sort-window --buffer --gap-events --fail-on-gap --exec --debounce --record --replay --since --until --demo --lxd --incus --force-local --quiet --verbose --debug --ready-fd --list-actions --completions --man --install-docs --remove-docs --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            ;;
    esac
}

# Before bash 4.4, words are always sorted.
complete -o nosort -F _lxmon lxmon 2>/dev/null || complete -F _lxmon lxmon
