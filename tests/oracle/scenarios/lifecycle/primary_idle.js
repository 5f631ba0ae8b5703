// A primary without workers, servers and timers ends by itself, with its exitCode (spec 2.15).
process.exitCode = 6; setTimeout(() => trace('timer'), 50); trace(cluster.isPrimary, cluster.isMaster, cluster.isWorker);
