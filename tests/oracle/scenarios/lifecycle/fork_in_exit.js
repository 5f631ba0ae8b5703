// fork() in an exit handler: ids go on, the new worker is in the table at once (spec 2.14).
if (cluster.isPrimary) {
  cluster.on('exit', (w) => {
    trace('exit', w.id, Object.keys(cluster.workers).length);
    if (w.id < 3) { const n = cluster.fork(); trace('new', n.id, n.id in cluster.workers, n.state); }
  });
  cluster.fork();
} else process.exit(0);
