"""A real server of one file on 127.0.0.1 that misbehaves as it is told to."""

import random
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.patience import PATIENCE

CONTENT = random.Random(0).randbytes(300_000)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get('Range')))
        behaviour = server.plan.pop(0) if server.plan else server.behaviour
        if self.path == '/moved.pt':
            return self.answer(302, {'Location': server.url}, b'')
        if behaviour.isdigit():
            return self.answer(int(behaviour), {}, b'no')
        start, code, headers = 0, 200, dict(server.headers)
        if self.headers.get('Range') and server.ranges:
            start, code = int(self.headers['Range'][len('bytes=') : -1]), 206
            if start >= len(server.content):
                return self.answer(416, {'Content-Range': f'bytes */{len(server.content)}'}, b'')
            if behaviour == 'wrong range':
                start += 1
            headers['Content-Range'] = f'bytes {start}-{len(server.content) - 1}/{len(server.content)}'
        self.answer(code, headers, server.content[start:], cut=behaviour == 'cut', wait=behaviour == 'wait')

    def answer(self, code, headers, body, cut=False, wait=False):
        self.send_response(code)
        for key, value in {'Content-Length': str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if cut:
            body = body[: len(body) // 2]
        for begin in range(0, len(body), 10_000):
            if wait and begin >= len(body) / 2:
                self.server.go_on.wait(PATIENCE)
            self.wfile.write(body[begin : begin + 10_000])
            time.sleep(self.server.pause)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.content, self.behaviour, self.ranges, self.pause = CONTENT, 'serve', True, 0.0
        self.plan, self.headers, self.asked = [], {}, []
        self.go_on = threading.Event()  # for which the behaviour 'wait' waits
        self.url = f'http://127.0.0.1:{self.server_port}/model.pt'

    def handle_error(self, request, client_address):
        pass  # a client that was killed


@contextmanager
def serving():
    """Run one more server than the fixture `server` while the block runs."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
