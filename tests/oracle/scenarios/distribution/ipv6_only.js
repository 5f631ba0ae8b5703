// ipv6Only with a host; without one Node 20 ignores it (spec 3.4, 7).
if (cluster.isPrimary) {
  watch('listening'); const w = cluster.fork(); let n = 0;
  w.on('listening', (a) => ask({ port: a.port, host: '127.0.0.1' }, (text) => { trace(a.address, text); if (++n === 2) w.disconnect(); else w.send('next'); }));
} else {
  const serve = (host) => net.createServer((c) => c.end('four')).listen({ port: 0, host, ipv6Only: true });
  process.on('message', () => serve(undefined)); serve('::');
}
