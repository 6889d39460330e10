"""A web demo that runs as a process of its own."""
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


class WebServer:
    """A running `mmcm web` on 127.0.0.1, whose home, working and temporary folders were empty when it started."""

    def __init__(self, folder, *arguments):
        self.folders = [folder / name for name in ('home', 'cwd', 'tmp')]
        for each in self.folders:
            each.mkdir(parents=True)
        self.home, self.cwd, self.tmp = self.folders
        environment = {key: value for key, value in os.environ.items() if not key.startswith(('GRADIO_', 'XDG_'))}
        environment.update(HOME=str(self.home), TMPDIR=str(self.tmp), PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1',
                           no_proxy='127.0.0.1', PYTHONDONTWRITEBYTECODE='1')
        self.log = folder / 'log'  # a file, since Gradio prints all that it refuses, and a pipe would fill up
        with self.log.open('w') as log:
            self.process = subprocess.Popen(
                [sys.executable, '-m', 'mmcm', 'web', '--port', '0', '--device', 'cpu', *map(str, arguments)],
                cwd=self.cwd, env=environment, stdout=log, stderr=subprocess.STDOUT)
        while '\n' not in self.log.read_text() and self.process.poll() is None:
            time.sleep(0.05)
        self.line = self.log.read_text().partition('\n')[0] + '\n'
        found = re.search(r'http://127\.0\.0\.1:\d+/', self.line)
        if found is None:
            self.end(signal.SIGTERM)
            raise AssertionError(self.line + self.output)
        self.url = found[0]

    def ask(self, path, body=None, **headers):
        """Send a request, a POST if it has a body, and return the status and the answer."""
        request = urllib.request.Request(self.url + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def index_of(self, name):
        """Return the number of an event."""
        config = json.loads(self.ask('config')[1])
        return next(each['id'] for each in config['dependencies'] if each['api_name'] == name)

    def post(self, path, body):
        """Send the text of a JSON object, and return the status and what was answered."""
        status, answer = self.ask(f'gradio_api/{path}', body.encode(), **{'Content-Type': 'application/json'})
        return status, json.loads(answer)

    def upload(self, content, name='picture.png'):
        """Upload a file as the page does, and return the status and where it is on the server, or what was told."""
        boundary = secrets.token_hex(8)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + f'\r\n--{boundary}--\r\n'.encode()
        kind = f'multipart/form-data; boundary={boundary}'
        status, answer = self.ask('gradio_api/upload', body, **{'Content-Type': kind})
        return status, json.loads(answer)[0] if status == 200 else answer.decode()

    def join(self, name, data, session):
        """Have an event wait for its turn with `data`, the text of a JSON list: return status and answer."""
        return self.post('queue/join', f'{{"data": {data}, "fn_index": {self.index_of(name)}, '
                                       f'"session_hash": "{session}"}}')

    @contextmanager
    def messages(self, session):
        """Yield what the server tells a session, message by message; the visitor leaves when the block ends."""
        with urllib.request.urlopen(f'{self.url}gradio_api/queue/data?session_hash={session}', timeout=60) as stream:
            yield (json.loads(line[len('data: '):]) for line in stream if line.strip())

    def call(self, name, data):
        """Have an event answer `data`, the text of a JSON list: return the status and the event's last message."""
        session = secrets.token_hex(8)
        status, answer = self.join(name, data, session)
        if status != 200:
            return status, answer
        with self.messages(session) as messages:
            for message in messages:
                if message['msg'] in ('process_completed', 'unexpected_error'):
                    return status, message
        raise AssertionError('the stream of the event ended without a result')

    def end(self, number):
        """Send a signal, and return the exit code; what was printed since the start is then in `output`."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        self.output = self.log.read_text()[len(self.line):]
        return code
