// uid and gid take effect where root asks; anybody else hears an exception (spec 5.2, 5.3).
if (cluster.isPrimary) {
  if (process.getuid() === 0) { cluster.setupPrimary({ uid: 0, gid: 65534 }); cluster.on('message', (w, m) => { trace(m); w.process.kill('SIGKILL'); }); cluster.fork(); }
  else { cluster.setupPrimary({ uid: 0 }); attempt('root', () => cluster.fork()); }
} else process.send(`${process.getuid()} ${process.getgid()}`);
