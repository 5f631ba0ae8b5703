// A worker lives while something holds it: its channel, a server, a timer; each can be let go of.
if (cluster.isPrimary) {
  watch('exit');
  for (const HOW of ['channel', 'timer', 'server', 'back', 'udp', 'left']) cluster.fork({ HOW });
} else {
  const how = process.env.HOW;
  process.on('exit', (code) => trace('exit', code, process.connected));
  const end = (what) => () => { trace(what); server.unref(); };
  const server = how === 'udp' ? dgram.createSocket('udp4') : net.createServer();
  if (how === 'channel') process.channel.unref();
  if (how === 'timer') { process.channel.unref(); setTimeout(trace, 100, 'timer'); }
  if (how === 'server') {
    server.listen(0, '127.0.0.1', () => {
      process.channel.unref();
      setTimeout(() => setTimeout(end('server held it'), 200).ref(), 10).unref();
    });
  }
  if (how === 'back') {
    process.channel.unref();
    process.channel.ref();
    setTimeout(() => { trace('channel held it'); process.channel.unref(); }, 200).unref();
  }
  if (how === 'udp') {
    server.unref();
    server.bind(0, '127.0.0.1', () => process.channel.unref());
  }
  if (how === 'left') {
    server.listen(0, '127.0.0.1', () => cluster.worker.disconnect());
    setTimeout(trace, 60000, 'never').unref();
    process.on('disconnect', () => trace('channel', process.channel));
  }
}
