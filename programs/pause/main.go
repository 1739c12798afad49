// Copyright: (c) 2026, Holdfast contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The first process of every pod: it holds the pod's namespaces open and does nothing until it is told to end. Where
// containers share its process namespace it is their init, too, and has to collect what they leave behind.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for collected := 1; collected > 0; {
			collected, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		}
	}
}
