// cluster.worker.disconnect(): what the worker and the primary see (spec 2.4, 2.6).
if (cluster.isPrimary) { watch(); watchWorker(cluster.fork()); }
else {
  const w = cluster.worker;
  const seen = () => [w.state, w.exitedAfterDisconnect, w.isConnected()];
  w.on('disconnect', () => trace('worker disconnect', ...seen()));
  process.on('disconnect', () => trace('process disconnect', ...seen()));
  process.on('exit', (code) => trace('exit', code));
  net.createServer().on('close', () => trace('close')).listen(0, '127.0.0.1', () => setTimeout(() => {
    trace('same', w.disconnect() === w); trace(...seen()); w.disconnect();
  }, 50));
}
