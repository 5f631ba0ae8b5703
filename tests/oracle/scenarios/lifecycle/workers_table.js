// D9: Node forgets a worker when it is told to disconnect, we when it has disconnected and exited (spec 2.12).
if (cluster.isPrimary) {
  const w = cluster.fork(); const there = () => w.id in cluster.workers;
  w.on('disconnect', () => trace('disconnect', there())); w.on('exit', () => trace('exit', there()));
  w.on('online', () => { trace('online', there()); w.disconnect(); trace('asked', there()); });
}
