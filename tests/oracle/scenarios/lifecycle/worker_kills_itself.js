// cluster.worker.kill() ignores its argument, leaves at once with 0 (spec 1.4, 2.4).
if (cluster.isPrimary) { watch(); watchWorker(cluster.fork()); }
else {
  const w = cluster.worker;
  w.on('disconnect', () => trace('worker disconnect', w.exitedAfterDisconnect, w.isConnected()));
  process.on('disconnect', () => trace('process disconnect'));
  process.on('exit', (code) => trace('exit', code));
  setInterval(() => {}, 1000);
  trace('returns', w.kill('SIGKILL')); trace(w.state, w.exitedAfterDisconnect); w.kill();
}
