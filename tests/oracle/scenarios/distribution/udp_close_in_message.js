// A socket that closes itself in a handler hears no more, and leaves what is still to come to its sibling.
if (cluster.isPrimary) {
  watch('exit');
  let bound = 0;
  cluster.on('message', (w, port) => {
    if (++bound < 2) return;
    const client = dgram.createSocket('udp4');
    let left = 8;
    for (let i = 0; i < 8; i++) client.send(`${i}`, port, '127.0.0.1', () => { if (!--left) client.close(); });
  });
  cluster.fork(); cluster.fork();
} else {
  let count = 0;
  const socket = dgram.createSocket('udp4', () => {
    if (++count === 4) socket.close(() => setTimeout(() => { trace(count); cluster.worker.disconnect(); }, 200));
  });
  socket.bind(0, '127.0.0.1', () => process.send(socket.address().port));
}
