# Jobs of bash: wait -n, wait -p, stopped jobs, fg and bg, %specifications, disown, kill of a job's group.
state() { until [ "$(sed 's/.*) //; s/ .*//' /proc/$1/stat 2>/dev/null)" = "$2" ]; do sleep 0.01; done; }
# Ends with status $2 once something came through $1 and the script waits: of a job that ends earlier, and is not the last one
# begun, bash may have cleaned up at the next command, and wait -n would not know it.
leave() { read -r _ < $1; state $$ S; exit $2; }
mkfifo a b c
( leave a 3 ) &
first=$!
( leave b 4 ) &
second=$!
( leave c 5 ) &
echo > b
wait -n -p which
echo "wait -n: $? of the second: $(( which == second ))"
echo > a
wait -n
echo "wait -n: $?"
wait $first
echo "asked again: $?"
echo > c
wait -n
echo "wait -n: $?"
wait -n
echo "none left: $?"
rm a b c

set -m
sleep 1000 &
job=$!
state $job S
kill -STOP %1
state $job T
jobs | sed 's/  */ /g'
bg %1 > out; sed 's/  */ /g' out
state $job S
jobs -r | sed 's/  */ /g'
kill %1
wait $job
echo "terminated: $?"
( kill -STOP $BASHPID; echo "continued in the foreground" ) &
state $! T
fg %% > out; echo "fg: $?"; tail -n 1 out
sleep 1000 | sleep 1000 | sleep 1000 &
job=$!
state $job S
kill -TERM %%
wait $job
echo "a pipeline: $?, members left: $(jobs -p | wc -l)"
sleep 1000 &
sleeper=$!
disown $sleeper
jobs
kill -KILL $sleeper
rm -f out
echo done
