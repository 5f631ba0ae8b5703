// A kill after a disconnect is still a voluntary end (spec 2.3).
if (cluster.isPrimary) {
  watch('exit', 'disconnect'); const w = watchWorker(cluster.fork());
  cluster.on('message', () => { w.disconnect(); w.kill(); });
} else { setInterval(() => {}, 1000); process.send('ready'); }
