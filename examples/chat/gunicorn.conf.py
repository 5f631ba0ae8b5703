"""The chat's server: four workers that share their clients."""

bind = "127.0.0.1:8000"
worker_class = "nodecluster_compat.Worker"
workers = 4
wsgi_app = "chat:app"
