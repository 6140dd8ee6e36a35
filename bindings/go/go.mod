module crashmonitor

go 1.21
