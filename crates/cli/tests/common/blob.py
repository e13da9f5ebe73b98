#!/usr/bin/env python3
"""Asks Azurite as any other client would: blob.py PORT METHOD PATH QUERY, signed with its public key.

Written from Microsoft's page "Authorize with Shared Key".
"""

import base64
import email.utils
import hashlib
import hmac
import http.client
import sys

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

port, method, path, query = sys.argv[1:]
headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
asked = "".join("\n" + pair.replace("=", ":") for pair in sorted(query.split("&")))
said = "".join(f"{name}:{value}\n" for name, value in headers.items())
signed = f"{method}{12 * chr(10)}{said}/{ACCOUNT}/{ACCOUNT}/{path}{asked}"
signature = base64.b64encode(hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()).decode()
headers["Authorization"] = f"SharedKey {ACCOUNT}:{signature}"
connection = http.client.HTTPConnection("127.0.0.1", int(port))
connection.request(method, f"/{ACCOUNT}/{path}?{query}", headers=headers)
answer = connection.getresponse()
text = answer.read().decode()
print(text)
sys.exit(0 if answer.status < 300 else f"{answer.status} {text}")
