// Package outlook finds out what package forecast needs to know: of the parts of a running
// proxy ([Parts]), or of the files of one that does not run ([OfFiles]). An [Outlook] shows
// what ends in metrics, and once a day in a line of the log.
package outlook
