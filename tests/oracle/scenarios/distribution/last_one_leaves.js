// When the last worker closes its server the primary closes the socket; a path is removed (spec 3.2).
const path = require('os').tmpdir() + '/oracle-' + process.ppid + '.sock';
if (cluster.isPrimary) {
  cluster.fork(); let port;
  cluster.on('listening', (w, a) => { if (a.port > 0) port = a.port; else { trace('exists', fs.existsSync(a.address), a.addressType, a.port); w.send('close'); } });
  const fs = require('fs');
  cluster.on('message', (w, m) => setTimeout(() => { trace('exists', fs.existsSync(m)); ask({ port, host: '127.0.0.1' }, (text) => { trace(text); w.disconnect(); }); }, 100));
} else {
  const a = net.createServer().listen(0, '127.0.0.1', () => {
    const file = '/tmp/oracle-' + process.pid + '.sock';
    const b = net.createServer().listen(file);
    process.on('message', () => a.close(() => b.close(() => process.send(file))));
  });
}
