"""A real server on 127.0.0.1 that speaks as much of the Hugging Face hub's API as fetching a snapshot takes."""

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = 'c' * 40


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_HEAD(self):
        self.respond()

    def do_GET(self):
        self.respond()

    def respond(self):
        server = self.server
        path = self.path.split('?')[0]
        server.asked.append(path)
        match = re.fullmatch(r'/api/models/(\w+/[\w.-]+)/(revision|tree)/([^/]+)', path)
        resolved = re.fullmatch(r'/(\w+/[\w.-]+)/resolve/([^/]+)/(.+)', path)
        repository, revision = (match[1], match[3]) if match else (resolved[1], resolved[2])
        if repository not in server.repositories:
            return self.answer(404, b'{}', {'X-Error-Code': 'RepoNotFound'})
        if revision not in ('main', 'v1', COMMIT):
            return self.answer(404, b'{}', {'X-Error-Code': 'RevisionNotFound'})
        files = server.repositories[repository]
        if resolved:
            if resolved[3] not in files:
                return self.answer(404, b'', {'X-Error-Code': 'EntryNotFound'})
            content = files[resolved[3]]
            return self.answer(200, content, {'ETag': f'"{oid(content)}"', 'X-Repo-Commit': COMMIT})
        if match[2] == 'revision':
            siblings = [{'rfilename': name} for name in files]
            return self.answer(200, json.dumps({'id': repository, 'sha': COMMIT, 'siblings': siblings}).encode())
        tree = [
            {'type': 'file', 'path': name, 'size': len(content), 'oid': oid(content)} for name, content in files.items()
        ]
        self.answer(200, json.dumps(tree).encode())

    def answer(self, code, body, headers=()):
        self.send_response(code)
        always = {'Content-Length': str(len(body)), 'Content-Type': 'application/json'}
        for key, value in {**always, **dict(headers)}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def log_message(self, *args):
        pass


def oid(content):
    return hashlib.sha1(content).hexdigest()


class HubServer(ThreadingHTTPServer):
    """`repositories` maps each `org/name` to {path: content}; `asked` collects the paths that were asked for."""

    daemon_threads = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.repositories, self.asked = {}, []
        self.url = f'http://127.0.0.1:{self.server_port}'

    def handle_error(self, request, client_address):
        pass  # a client that was killed
