// D1: Node leaks the connection of a worker that died before taking it; disconnect never comes (spec 2.11).
if (cluster.isPrimary) {
  watch('disconnect', 'exit'); let n = 0;
  cluster.on('listening', (w, a) => {
    if (++n < 2) return cluster.fork();
    cluster.workers[1].process.kill('SIGSTOP');
    setTimeout(() => {
      let served = 0; for (let i = 0; i < 4; i++) ask({ port: a.port, host: '127.0.0.1' }, () => served++);
      setTimeout(() => cluster.workers[1].process.kill('SIGKILL'), 200);
      setTimeout(() => { trace('served', served); process.exit(0); }, 600);
    }, 50);
  });
  cluster.fork();
} else net.createServer((c) => c.end('x')).listen(0, '127.0.0.1');
