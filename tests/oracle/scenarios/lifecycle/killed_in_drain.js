// A worker that is killed while it leaves by its own wish did not leave voluntarily (spec 2.6).
if (cluster.isPrimary) {
  watch('disconnect', 'exit'); const w = watchWorker(cluster.fork()); let client;
  w.on('listening', (a) => { client = net.connect(a.port, '127.0.0.1').on('error', () => {}); });
  w.on('message', () => setTimeout(() => w.kill('SIGKILL'), 100));
} else net.createServer((c) => { c.resume(); cluster.worker.disconnect(); process.send('leaving'); }).listen(0, '127.0.0.1');
