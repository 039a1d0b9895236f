#!/usr/bin/perl
# Sends a file as a message by Net::SMTP.
# usage: netsmtp_send.pl HOST PORT MECHANISM USER PASSWORD none|starttls|implicit FROM FILE TO...
use strict;
use warnings;
use Authen::SASL;
use Net::SMTP;

my ($host, $port, $mechanism, $user, $password, $tls, $from, $path, @to) = @ARGV;
my @unchecked = (SSL_verify_mode => 0); # the certificate is the test's own
my $smtp = Net::SMTP->new($host, Port => $port, Hello => 'client.example.com', Timeout => 60, $tls eq 'implicit' ? (SSL => 1, @unchecked) : ())
    or die "connect: $@\n";

# check dies with the server's reply when a step failed.
sub check {
    my ($ok, $step) = @_;
    return if $ok;
    my $reply = $smtp->code . ' ' . $smtp->message;
    die "$step: $reply\n";
}

check($smtp->starttls(@unchecked), 'starttls') if $tls eq 'starttls';
my $sasl = Authen::SASL->new(
    mechanism => $mechanism,
    callback  => { user => $user, authname => '', pass => $password },
);
check($smtp->auth($sasl), 'auth');
check($smtp->mail($from, Bits => '8'), 'mail');
check($smtp->to(@to), 'to');
check($smtp->data, 'data');
open my $file, '<:raw', $path or die "$path: $!\n";
while (read $file, my $part, 1 << 16) {
    check($smtp->datasend($part), 'datasend');
}
check($smtp->dataend, 'dataend');
$smtp->quit;
