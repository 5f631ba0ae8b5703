// Node.js' own example of its cluster module: one worker for each CPU, all on port 8000.
const cluster = require('node:cluster');
const http = require('node:http');
const process = require('node:process');

const count = Number(process.argv[2] || require('node:os').availableParallelism());

if (cluster.isPrimary) {
  console.log(`Primary ${process.pid} is running`);

  for (let i = 0; i < count; i++) {
    cluster.fork();
  }

  cluster.on('exit', (worker, code, signal) => {
    console.log(`worker ${worker.process.pid} died`);
  });
} else {
  http.createServer((req, res) => {
    res.writeHead(200);
    res.end('hello world\n');
  }).listen(8000);

  console.log(`Worker ${process.pid} started`);
}
