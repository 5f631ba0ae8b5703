// An uncaught exception of the primary's script: exit code 1 (spec 2.7).
if (cluster.isPrimary) {
  cluster.fork(); process.on('exit', (code) => trace('exit', code));
  throw new Error('accident');
}
