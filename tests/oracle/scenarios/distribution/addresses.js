// What the listening event says, for every way to listen (spec 2.2).
const ways = [{ host: '127.0.0.1' }, {}, { host: '::1' }, { host: '0.0.0.0' }];
if (cluster.isPrimary) { watch('listening'); cluster.on('listening', (w) => w.disconnect()); ways.forEach((_, i) => cluster.fork({ WAY: i })); }
else net.createServer().listen({ port: 0, ...ways[process.env.WAY] });
