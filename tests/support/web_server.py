"""A web demo that runs as a process of its own."""

import http.client
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from support.patience import PATIENCE, wait_until

ROOT = Path(__file__).parents[2]
WITH_LIMITS = (
    'import json, sys\nfrom mmcm.web.limits import Limits\nfrom mmcm.web.server import serve\n'
    'serve(["digits"], port=0, device="cpu", limits=Limits(**json.loads(sys.argv[1])))'
)


class WebServer:
    """A running `mmcm web` on 127.0.0.1, whose home, working and temporary folders were empty when it started.

    Args:
        folder (Path): Where these folders are made.
        arguments: Of the command.
        limits: Those that the command has no arguments for, in place of its other arguments.
        variables: Further variables of the process.
    """

    def __init__(self, folder, *arguments, limits=None, **variables):
        self.folders = [folder / name for name in ('home', 'cwd', 'tmp')]
        for each in self.folders:
            each.mkdir(parents=True)
        self.home, self.cwd, self.tmp = self.folders
        environment = {key: value for key, value in os.environ.items() if not key.startswith(('GRADIO_', 'XDG_'))}
        environment.update(
            HOME=str(self.home),
            TMPDIR=str(self.tmp),
            OMP_NUM_THREADS='1',
            no_proxy='127.0.0.1',
            PYTHONDONTWRITEBYTECODE='1',
            **{'PYTHONPATH': str(ROOT), **variables},
        )
        self.log = folder / 'log'  # a file, since Gradio prints all that it refuses, and a pipe would fill up
        with self.log.open('w') as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    *(
                        ('-m', 'mmcm', 'web', '--port', '0', '--device', 'cpu', *map(str, arguments))
                        if limits is None
                        else ('-c', WITH_LIMITS, json.dumps(limits))
                    ),
                ],
                cwd=self.cwd,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        patience_ends = time.monotonic() + PATIENCE
        while '\n' not in self.log.read_text() and self.process.poll() is None and time.monotonic() < patience_ends:
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
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def request(self, method, path, body=None, headers=(), address='127.0.0.1'):
        """Send a request with exactly these headers beside the length of its body, `Host` being the server's own unless
        it is among them, from an address of this machine. Return status, headers with small letters, and the answer.
        """
        own = urllib.parse.urlsplit(self.url).netloc
        connection = http.client.HTTPConnection(own, timeout=PATIENCE, source_address=(address, 0))
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {'Host': own, **dict(headers)}.items():
            if value is not None:
                connection.putheader(name, value)
        if body is not None:
            connection.putheader('Content-Length', str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        kept = {name.lower(): value for name, value in answer.getheaders()}
        content = b'' if kept.get('content-type', '').startswith('text/event-stream') else answer.read()
        connection.close()
        return answer.status, kept, content

    def index_of(self, name):
        """Return the number of an event."""
        config = json.loads(self.ask('config')[1])
        return next(each['id'] for each in config['dependencies'] if each['api_name'] == name)

    def wait_for_pictures(self):
        """Wait until all tabs open with something."""
        config = json.loads(self.ask('config')[1])
        for event in config['dependencies']:
            if [name for _, name in event['targets']] == ['load']:
                body = json.dumps(dict(data=[], fn_index=event['id'], session_hash='waits'))

                def opened(body=body):
                    status, answer = self.post('run/predict', body)
                    return status == 200 and '__type__' not in answer['data'][0]

                wait_until(opened, f'{event["api_name"]}, which a tab opens with,', 0.1)

    def post(self, path, body):
        """Send the text of a JSON object, and return the status and what was answered."""
        status, answer = self.ask(f'gradio_api/{path}', body.encode(), **{'Content-Type': 'application/json'})
        return status, json.loads(answer)

    def pictures(self):
        """Return the paths of the uploads and results on the server's disk."""
        return [path for path in self.tmp.rglob('*') if path.is_file() and len(path.parent.name) == 64]

    def upload(self, content, name='picture.png'):
        """Upload a file as the page does, and return the status and where it is on the server, or what was told."""
        boundary = secrets.token_hex(8)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + f'\r\n--{boundary}--\r\n'.encode()
        kind = f'multipart/form-data; boundary={boundary}'
        status, answer = self.ask('gradio_api/upload', body, **{'Content-Type': kind})
        return status, json.loads(answer)[0] if status == 200 else answer.decode()

    def join(self, name, data, session, address='127.0.0.1'):
        """Have an event wait for its turn with `data`, the text of a JSON list: return status and answer."""
        body = f'{{"data": {data}, "fn_index": {self.index_of(name)}, "session_hash": "{session}"}}'
        status, _, answer = self.request(
            'POST', '/gradio_api/queue/join', body.encode(), {'Content-Type': 'application/json'}, address
        )
        return status, json.loads(answer)

    @contextmanager
    def messages(self, session):
        """Yield what the server tells a session, message by message; the visitor leaves when the block ends."""
        address = f'{self.url}gradio_api/queue/data?session_hash={session}'
        with urllib.request.urlopen(address, timeout=PATIENCE) as stream:
            yield (json.loads(line[len('data: ') :]) for line in stream if line.strip())

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
        code = self.process.wait(PATIENCE)
        self.output = self.log.read_text()[len(self.line) :]
        return code
