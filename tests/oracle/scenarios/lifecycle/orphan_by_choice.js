// A worker that set exitedAfterDisconnect survives the loss of its channel (spec 2.4).
if (cluster.isPrimary) { watch('disconnect', 'exit'); cluster.fork(); }
else {
  process.on('disconnect', () => trace('process disconnect'));
  setTimeout(() => process.exit(9), 100);
  cluster.worker.exitedAfterDisconnect = true; process.disconnect();
}
