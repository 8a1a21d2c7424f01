# Completion of lxmon in fish, from the program itself, so that it fits the installed version.
COMPLETE=fish lxmon 2> /dev/null | source
