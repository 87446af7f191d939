# busybox's tools that live by signals: timeout, time, watch, setsid, kill, and its shell's own traps.
timeout 1 sleep 1000
echo "timeout: $?"
timeout -s KILL 1 sleep 1000
echo "timeout by KILL: $?"
timeout 1000 true
echo "in time: $?"
timeout 1000 sh -c 'exit 9'
echo "status of the command: $?"
time -p true 2>&1 | sed 's/[0-9.]*$/N/'
time sh -c 'kill -TERM $$' 2>&1 | sed -n 's/^Command terminated.*/terminated/p'
timeout 2 watch -t -n 1 echo looked > seen
echo "watch: $?, saw it: $(( $(tr -s '\033' '\n' < seen | grep -c looked) > 0 ))"
rm -f seen
trap 'echo "ash caught USR1"' USR1
kill -USR1 $$
trap '' TERM
kill -TERM $$
echo "ash survived TERM"
trap - TERM
setsid sh -c 'kill -TERM $$'
echo "setsid: $?"
sh -c 'trap "echo bye" EXIT; exit 4'
echo "exit: $?"
sleep 1000 &
kill -STOP $!
kill -CONT $!
kill $!
wait $!
echo "wait: $?"
kill -l 15
