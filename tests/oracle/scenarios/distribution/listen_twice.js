// Two listen() before the answer give one listening; a third after it throws; bad ports throw (spec 3.3).
if (cluster.isPrimary) { watch('listening'); cluster.fork(); cluster.on('message', () => cluster.disconnect()); watch('exit'); }
else {
  const s = net.createServer().on('listening', () => { trace('listening'); attempt('third', () => s.listen(0)); process.send('x'); });
  s.listen(0, '127.0.0.1'); s.listen(0, '127.0.0.1');
  for (const port of [-1, 65536, 1.5]) attempt('port', () => net.createServer().listen(port, '127.0.0.1'));
}
