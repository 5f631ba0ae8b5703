// A channel that is closed without asking ends the worker with 0; process hears of nothing (spec 2.3, 2.4).
if (cluster.isPrimary) {
  watch(); watchWorker(cluster.fork({ WHO: 'worker' })); const w = watchWorker(cluster.fork({ WHO: 'primary' }));
  w.on('message', () => w.process.disconnect());
} else {
  cluster.worker.on('disconnect', () => trace('worker disconnect', cluster.worker.exitedAfterDisconnect, cluster.worker.isConnected()));
  process.on('disconnect', () => trace('never'));
  process.on('exit', (code) => trace('exit', code));
  setInterval(() => {}, 1000);
  if (process.env.WHO === 'worker') process.disconnect(); else process.send('ready');
}
