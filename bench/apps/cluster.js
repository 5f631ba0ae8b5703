// Node's cluster as its documentation shows it: an exit handler that forks. Notes what conf_survive.py notes.
const cluster = require('node:cluster')
const fs = require('node:fs')
const http = require('node:http')

const now = () => Number(process.hrtime.bigint()) / 1e9
const note = (event, pid) => fs.appendFileSync('events', JSON.stringify({ time: now(), event, pid }) + '\n')

if (cluster.isPrimary) {
  cluster.on('fork', worker => note('fork', worker.process.pid))
  cluster.on('listening', worker => note('listening', worker.process.pid))
  cluster.on('exit', () => cluster.fork())
  for (let i = 0; i < Number(process.env.WORKERS); i++) cluster.fork()
} else {
  const taken = fs.openSync('taken', 'a')
  const server = http.createServer((request, response) => {
    response.setHeader('Connection', 'close')
    response.end('0')
  })
  server.on('connection', socket => fs.writeSync(taken, `${now()} ${process.pid} ${socket.remotePort}\n`))
  server.listen(Number(process.env.PORT), '127.0.0.1')
}
