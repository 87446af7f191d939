# Traps of bash: handlers, ignored and reset signals, subshells, functions, EXIT, ERR, and a wait that a trap interrupts.
trap 'echo "caught USR1"' USR1
kill -USR1 $$
trap 'echo "caught TERM in ${FUNCNAME[0]:-main}"' TERM
function outer { kill -TERM $$; echo "outer goes on"; }
outer
trap '' HUP
kill -HUP $$
echo "survived HUP"
$BASH -c 'kill -HUP $$; echo "an ignored signal is inherited"'
( kill -USR1 $BASHPID; echo "not reached" )
echo "a subshell without the trap: $?"
( trap 'echo "the trap of the subshell"' USR1; kill -USR1 $BASHPID )
trap - USR1
trap -p TERM HUP USR1
$BASH -c 'trap "echo exit trap of \$\$ | sed s/[0-9]*\$/PID/" EXIT; kill -INT $$; echo unreached'
echo "killed by INT: $?"
trap 'echo "error $? in line $LINENO"' ERR
false
trap - ERR
mkfifo fifo
trap 'echo "wait was interrupted"' USR2
{ read -r _ < fifo; } &
job=$!
( while ! grep -q '(S|T)\|) S ' /proc/$$/stat; do :; done; kill -USR2 $$ ) &
wait $job
echo "wait said $(( $? > 128 ))"
echo go > fifo
wait $job
echo "and then $?"
wait
rm fifo
trap - HUP TERM
for signal in HUP ILL ABRT FPE KILL SEGV PIPE ALRM TERM USR1; do
    $BASH -c "ulimit -c 0; kill -$signal \$\$" 2>/dev/null
    echo "$signal: $?"
done
trap 'echo "the end"' EXIT
