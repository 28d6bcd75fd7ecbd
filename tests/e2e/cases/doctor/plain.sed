# What is another in every run.
s/127\.0\.0\.1:[0-9]+/ADDRESS/g
s/(guard|127\.10\.0\.10|\.svc):[0-9]+/\1:443/g
s/v1\.[0-9]+\.[0-9]+[^ ]*/v1.36.3/
s/20[0-9]{2}-[0-9]{2}-[0-9]{2}/2027-11-22/
s/ [0-9]+ (days|hours|minutes|s) ago/ 3 hours ago/
s/[^ ]+ (holds|renewed) the Lease/tunnelguard-7d4f9 \1 the Lease/
