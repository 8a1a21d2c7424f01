# Completion of lxmon in bash, from the program itself, so that it fits the installed version.
source <(COMPLETE=bash lxmon 2> /dev/null)
