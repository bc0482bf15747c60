// Package check looks at what a configuration names, once: is each backend there, and fit? It is what "fairlead check
// --probe", "fairlead probe" and "fairlead discover" do and print.
//
//	findings := check.Backends(ctx, file)
//	check.Show(os.Stdout, terminal.StyleOf(os.Stdout), findings)
package check
