// Three workers behind one port; a client reaches the same one each time.
const http = require('http');
const sticky = require('./sticky_session');
const cluster = require('cluster');
const { say, get } = require('./demo');

const port = Number(process.argv[2]);
const server = http.createServer((request, response) => response.end(String(cluster.worker.id)));

if (!sticky.listen(server, port, { workers: 3 })) {
  let ready = 0;
  server.once('listening', () => say('listens'));
  cluster.on('message', () => {
    ready += 1;
    if (ready === 3) visit(['127.0.0.2', '127.0.0.3', '127.0.0.4']);
  });
} else {
  say('serves');
  process.send({ type: 'ready' });
}

function visit([address, ...others]) {
  if (!address) return process.exit(0);
  const ask = (answers) => {
    if (answers.length < 3) return get(port, (status, id) => ask([...answers, id]), address);
    say(address, 'reaches', new Set(answers).size, 'worker in', answers.length, 'visits');
    visit(others);
  };
  ask([]);
}
