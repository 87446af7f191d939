# Coprocesses of bash: a conversation over two pipes, the status, SIGPIPE when the other side is gone.
coproc ADDER { while read -r a b; do echo "$(( a + b ))"; done; exit 7; }
for i in 1 2 3; do
    echo "$i $(( i * i ))" >&"${ADDER[1]}"
    read -r sum <&"${ADDER[0]}"
    echo "$i + $(( i * i )) = $sum"
done
pid=$ADDER_PID
exec {ADDER[1]}>&-
wait $pid
echo "its status: $?"
# It stays until it has been heard: of a coprocess that has ended bash forgets the descriptors.
coproc { read -r line; echo "heard $line"; read -r line; }
echo hello >&"${COPROC[1]}"
read -r answer <&"${COPROC[0]}"
echo "$answer"
echo enough >&"${COPROC[1]}"
wait
coproc DEAF { exec <&-; echo ready; sleep 1000; }
read -r word <&"${DEAF[0]}"
echo "$word"
( echo lost >&"${DEAF[1]}" ) 2>/dev/null
echo "writing to nobody: $?"
# Kept, because bash forgets its variable as soon as it hears of the end.
pid=$DEAF_PID
kill -TERM "$pid"
wait "$pid" 2>/dev/null
echo "terminated: $?"
yes | head -n 2
echo "SIGPIPE: ${PIPESTATUS[*]}"
