# Runs a program whenever the healthy instances of web change; it gets them as JSON.
watches = [
  {
    type        = "service"
    service     = "web"
    passingonly = true
    args        = ["logger", "-t", "portway", "web has changed"]
  }
]
