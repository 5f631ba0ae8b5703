// Node's side of the comparison: what wsgi.py answers, from a cluster.  A worker that ends is replaced.
const cluster = require('node:cluster');
const fs = require('node:fs');
const http = require('node:http');

const slowMicroseconds = 50_000;
const bodies = new Map([
  ['/', Buffer.from('Hello, World!')],
  ['/slow', Buffer.from('slow')],
  ['/10k', Buffer.alloc(10_240, 'x')],
  ['/1m', Buffer.alloc(1_048_576, 'x')],
]);

// A line of BENCH_EVENTS, with the clock that all processes of the machine share.
function note(event, pid) {
  const time = Number(process.hrtime.bigint()) / 1e9;
  fs.appendFileSync(process.env.BENCH_EVENTS, `${JSON.stringify({ time, event, pid })}\n`);
}

function burn(microseconds) {
  const start = process.cpuUsage();
  let used;
  do {
    used = process.cpuUsage(start);
  } while (used.user + used.system < microseconds);
}

function answer(response, body) {
  response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': body.length });
  response.end(body);
}

function handle(request, response) {
  if (request.method === 'POST') {
    let count = 0;
    request.on('data', (data) => { count += data.length; });
    request.on('end', () => answer(response, Buffer.from(String(count))));
    return;
  }
  if (request.url === '/slow') {
    burn(slowMicroseconds);
  }
  answer(response, bodies.get(request.url));
}

function fork() {
  note('forking', 0);
  cluster.fork();
}

if (cluster.isPrimary) {
  cluster.on('listening', (worker) => note('listening', worker.process.pid));
  cluster.on('exit', (worker) => {
    note('exit', worker.process.pid);
    fork();
  });
  for (let i = 0; i < Number(process.env.BENCH_WORKERS); i++) {
    fork();
  }
} else {
  const server = http.createServer(handle);
  if (process.env.BENCH_KEEP_ALIVE_SECONDS) {
    server.keepAliveTimeout = Number(process.env.BENCH_KEEP_ALIVE_SECONDS) * 1000;
  }
  server.listen(Number(process.env.BENCH_PORT), '127.0.0.1');
}
