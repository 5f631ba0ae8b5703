// Exclusive and implicitly bound UDP sockets are the worker's own; a port in use is an error (spec 3.6).
if (cluster.isPrimary) {
  watch('listening');
  const holder = dgram.createSocket('udp4').bind(0, '127.0.0.1', () => cluster.fork({ PORT: holder.address().port }));
  let n = 0; cluster.on('message', (w, m) => { trace(m); if (++n === 3) { holder.close(); w.kill('SIGKILL'); } });
} else {
  const a = dgram.createSocket('udp4'); a.bind({ port: 0, address: '127.0.0.1', exclusive: true }, () => {
    process.send('exclusive');
    const b = dgram.createSocket('udp4'); b.send('x', a.address().port, '127.0.0.1', () => {
      process.send('implicit ' + (b.address().port > 0));
      dgram.createSocket('udp4').on('error', (e) => process.send(e.code + ' ' + e.syscall)).bind(Number(process.env.PORT), '127.0.0.1');
    });
  });
}
