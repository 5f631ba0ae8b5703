// A blocked worker holds one connection, the others go elsewhere (spec 3.2).
if (cluster.isPrimary) {
  let n = 0; const by = { 1: 0, 2: 0 };
  cluster.on('listening', (w, a) => { if (++n < 2) cluster.fork(); else { cluster.workers[1].process.kill('SIGSTOP'); setTimeout(() => go(a.port), 50); } });
  const go = (port) => { let done = 0; for (let i = 0; i < 8; i++) ask({ port, host: '127.0.0.1' }, (id) => { by[id]++; if (++done === 7) { trace(by[1], by[2]); setTimeout(() => cluster.workers[1].process.kill('SIGCONT'), 500); } if (done === 8) { trace(by[1], by[2]); cluster.disconnect(); } }); };
  cluster.fork();
} else net.createServer((c) => c.end(String(cluster.worker.id))).listen(0, '127.0.0.1');
