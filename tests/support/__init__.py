"""What tests share. Import from here: `from support import RedisProcess, unused_port, wait_until`."""

from support.nginx_server import NginxStore, debian_nginx
from support.ports import unused_port
from support.redis_server import RedisProcess, bundled_redis, debian_redis
from support.waiting import block_until, wait_until

__all__ = [
    "NginxStore",
    "RedisProcess",
    "block_until",
    "bundled_redis",
    "debian_nginx",
    "debian_redis",
    "unused_port",
    "wait_until",
]
