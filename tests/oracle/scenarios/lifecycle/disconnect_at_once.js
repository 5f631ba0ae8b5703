// A disconnect right after fork(): the order, and a listen() that is never answered (spec 2.5).
if (cluster.isPrimary) { watch(); watchWorker(cluster.fork()).disconnect(); cluster.on('setup', () => traceAs('P1', 'setup')); }
else net.createServer().listen(0, '127.0.0.1', () => trace('never'));
