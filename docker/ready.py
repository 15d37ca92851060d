"""HEALTHCHECK of the service's images: exit code 0 if the service on this machine says that it is ready."""

import http.client
import os
import sys

service = http.client.HTTPConnection("127.0.0.1", int(os.environ["RGP_SERVE_PORT"]), timeout=4)
try:
    service.request("GET", "/readyz")
    answer = service.getresponse()
except OSError as error:
    sys.exit(f"no service: {error}")
print(answer.status, answer.read().decode())  # `docker inspect` shows it
sys.exit(answer.status != 200)
